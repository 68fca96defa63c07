from orders import application  # any ASGI application: FastAPI, Starlette, Quart, Django ...

from wimse.authentication import Authenticator, TargetAudience, member_of
from wimse.credentials import TrustDomain
from wimse.servers.asgi import WimseMiddleware
from wimse.stores import MemoryReplayStore
from wimse.workload_api import WorkloadAPISource

me = WorkloadAPISource()  # opened and closed with the server
entrance = Authenticator(
    bundles=me,
    audience=TargetAudience("https://orders.example"),
    replay=MemoryReplayStore(),
    policy=member_of(TrustDomain("spiffe", "example.com")),
)
app = WimseMiddleware(application, authenticator=entrance, source=me)
