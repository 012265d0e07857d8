"""Signs with the providers' own libraries.

Standard input: a JSON array of {provider, secret, id, seconds, body}; standard output: an array of {header: value}.
"""

import json
import sys
from datetime import datetime, timezone

from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook


def slack(one):
    seconds = str(one["seconds"])
    signature = SignatureVerifier(one["secret"]).generate_signature(timestamp=seconds, body=one["body"])
    return {"x-slack-request-timestamp": seconds, "x-slack-signature": signature}


def standard(one):
    at = datetime.fromtimestamp(one["seconds"], tz=timezone.utc)
    return {
        "webhook-id": one["id"],
        "webhook-timestamp": str(one["seconds"]),
        "webhook-signature": Webhook(one["secret"]).sign(one["id"], at, one["body"]),
    }


SIGNERS = {"slack": slack, "standard": standard}
json.dump([SIGNERS[one["provider"]](one) for one in json.load(sys.stdin)], sys.stdout)
