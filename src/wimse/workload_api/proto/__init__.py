"""The .proto files of the Workload API and what protoc made of them; written by hand are those and `pool`."""
