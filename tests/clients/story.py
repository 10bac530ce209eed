"""One story for every client, as in story.cjs: what it lists, makes, changes, reads, finds and deletes, and how it takes refusals."""

import json
import sys

import requests


def tell(throttle, connect):
    url, token, gone, absent = sys.argv[1:5]
    client = connect(url, token)

    def refused(call):
        try:
            call()
        except Exception as error:  # whatever the client raises is what its user sees
            return client.refusal(error)
        return None

    saw = {"listed": client.list(3)}
    saw["made"] = client.make("made@client.test", "Made")
    client.change(saw["made"], "+49301234")
    saw["read"] = client.read(saw["made"])
    saw["found"] = client.find("made@client.test")
    client.remove(gone)
    saw["extra"] = client.extra(saw["made"], "upserted@client.test") if hasattr(client, "extra") else None
    saw["absent"] = refused(lambda: client.read(absent))
    saw["unauthorised"] = refused(lambda: connect(url, "wrong").read(saw["made"]))
    requests.post(f"{url}/sandbox/next", json={"shape": throttle}, timeout=10).raise_for_status()
    saw["throttled"] = refused(lambda: client.read(saw["made"]))
    print(json.dumps(saw))
