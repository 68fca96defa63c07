"""The .proto files of the Workload API and what protoc made of them; nothing here is written by hand but those."""
