import httpx2

from wimse.authentication import ClientAuthenticator, exactly, expect
from wimse.clients.httpx import SigningTransport
from wimse.workload_api import BlockingWorkloadAPISource

with BlockingWorkloadAPISource() as me:  # SPIFFE_ENDPOINT_SOCKET, or unix:///tmp/spire.sock
    caller = ClientAuthenticator(me, server=expect(exactly("spiffe://example.com/orders")))
    with httpx2.Client(transport=SigningTransport(httpx2.HTTPTransport(), caller)) as http:
        answer = http.post("https://orders.example/orders/1", json={"quantity": 12})
        print(answer.json(), "by", answer.extensions["wimse"].identity)
