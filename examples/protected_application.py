from orders import application  # any ASGI application: FastAPI, Starlette, Quart, Django ...

from wimse.authentication import Authenticator, TargetAudience, exactly
from wimse.servers.asgi import WimseMiddleware
from wimse.stores import MemoryReplayStore
from wimse.workload_api import WorkloadAPISource

me = WorkloadAPISource()  # opened and closed with the server
audience, callers = TargetAudience("https://orders.example"), exactly("spiffe://example.com/shop")
entrance = Authenticator(bundles=me, audience=audience, replay=MemoryReplayStore(), policy=callers)
app = WimseMiddleware(application, authenticator=entrance, source=me)
