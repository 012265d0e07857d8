"""Verifies with the providers' own libraries what we signed.

Standard input: a JSON array of {provider, secret, headers, body}; standard output: an array of true or false.
"""

import json
import sys

from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook


def slack(one):
    return SignatureVerifier(one["secret"]).is_valid_request(one["body"], one["headers"])


def standard(one):
    Webhook(one["secret"]).verify(one["body"], one["headers"], json_parse=False)
    return True


VERIFIERS = {"slack": slack, "standard": standard}


def verdict(one):
    try:
        return VERIFIERS[one["provider"]](one)
    except Exception as error:  # the caller asserts; the reason is for people
        print(f"{one['provider']}: {error}", file=sys.stderr)
        return False


json.dump([verdict(one) for one in json.load(sys.stdin)], sys.stdout)
