"use strict";

// Everything that is shown comes from strangers: it is only ever set as text, never as HTML.

const OUTCOMES = { ok: "holds", said: "says", unchecked: "not checked", failed: "does not hold" };
// Control characters and the marks that turn the direction of writing, which could make a value read as another.
const UNPRINTABLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

const form = document.getElementById("form");
const text = document.getElementById("text");
const sent = document.getElementById("request");
const title = document.getElementById("title");
const summary = document.getElementById("summary");
const steps = document.getElementById("steps");

function clean(value) {
  return value.replace(UNPRINTABLE, (each) => "\\u" + each.charCodeAt(0).toString(16).padStart(4, "0"));
}

function element(name, value, className) {
  const made = document.createElement(name);
  if (value !== undefined) made.textContent = clean(value);
  if (className) made.className = className;
  return made;
}

function stepItem(step) {
  const item = element("li", undefined, "step " + (step.outcome in OUTCOMES ? step.outcome : "said"));
  item.append(element("h3", step.title), element("span", OUTCOMES[step.outcome] ?? step.outcome, "outcome"));
  item.append(element("p", step.text));
  if (step.reason) item.append(element("p", "reason: " + step.reason, "soft"));
  const facts = Object.entries(step.facts);
  if (facts.length > 0) {
    const list = element("dl");
    for (const [name, value] of facts) list.append(element("dt", name), element("dd", value));
    item.append(list);
  }
  if (step.block !== undefined) item.append(element("pre", step.block));
  return item;
}

function show(explanation) {
  steps.replaceChildren(...explanation.steps.map(stepItem));
  const count = (outcome) => explanation.steps.filter((step) => step.outcome === outcome).length;
  summary.textContent =
    `${explanation.kind}: ${count("ok")} steps hold, ${count("failed")} do not, ${count("unchecked")} are not checked. ` +
    "This explains and does not decide: whom to trust is not known here.";
  title.hidden = false;
  title.focus();
}

function complain(message) {
  steps.replaceChildren();
  summary.textContent = message;
}

async function explain() {
  if (text.value.trim() === "") {
    complain("Paste a message or a token first.");
    text.focus();
    return;
  }
  try {
    const answer = await fetch("explain", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ text: text.value, request: sent.value }),
    });
    const document_ = await answer.json();
    if (answer.ok) show(document_);
    else complain("It cannot be explained: " + document_.error);
  } catch {
    complain("The program that serves this page does not answer any more.");
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  explain();
});

form.addEventListener("reset", () => {
  complain("");
  title.hidden = true;
  text.focus();
});

form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    explain();
  }
});
