"""What the live path costs, measured beside others' servers on the same machine in the same run.

    python -m bench.run                  all of it, under ten minutes; tables, then measured / must reach / reached
    python -m bench.run fanout rest      some of it
    python -m bench.run --quick          small numbers: does it work at all?

A generator is one process of raw sockets under one epoll (`load`), pinned to one core; the server under
test is pinned to the other. What is compared is the server's CPU time per delivery and its resident
memory per client, because those stay steady on a busy machine; latencies are printed as information.
"""
