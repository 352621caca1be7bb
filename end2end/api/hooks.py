"""Teaches schemathesis this API: how to log in, the values that only the owner knows, and the owner of each object."""

import itertools
import json
import os
import urllib.request

import schemathesis

SERVER = os.environ["VESTIBULE_URL"]
PASSWORD = "seven green lanterns"
numbers = itertools.count(1)
# The token that created or listed a session or an access token, by that object's id.
owners = {}


def address():
    """An address that no other request has. The server trusts its proxy, and rate-limits each address separately."""
    number = next(numbers)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def call(path, body):
    headers = {"Content-Type": "application/json", "X-Forwarded-For": address()}
    request = urllib.request.Request(SERVER + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@schemathesis.auth(refresh_interval=None)
class Account:
    """A new account for every request, so that no request finds objects that another has deleted.

    Requests for an existing object use the account that owns it. Half of the requests for operators use an admin.
    """

    def get(self, case, context):
        if case.path.startswith("/api/admin/accounts/") and next(numbers) % 2:
            return None, call("/api/accounts/api_auth/", {"email": "admin", "password": PASSWORD})["token"]
        token = owners.get((case.path_parameters or {}).get("id"))
        if token:
            return None, token
        name = f"user{next(numbers)}"
        call("/api/accounts/api_register/", {"email": f"{name}@example.org", "username": name, "password": PASSWORD})
        return name, call("/api/accounts/api_auth/", {"email": name, "password": PASSWORD})["token"]

    def set(self, case, data, context):
        name, token = data
        case.headers["Authorization"] = f"Bearer {token}"
        generation = case.meta.generation if case.meta else None
        if not name or not generation or not generation.mode.is_positive or not isinstance(case.body, dict):
            return
        # Generated values never match these. Every other request gets the right ones.
        known = {"/delete/": ("username", name), "_password/": ("password", PASSWORD)}
        for ending, (field, value) in known.items():
            for field in (field, f"current_{field}"):
                if case.path.endswith(ending) and field in case.body and next(numbers) % 2:
                    case.body[field] = value


@schemathesis.hook
def before_call(context, case, kwargs):
    case.headers["X-Forwarded-For"] = address()


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code != 200 or not response.headers.get("content-type", [""])[0].startswith("application/json"):
        return
    body = response.json()
    token = (response.request.headers.get("Authorization") or "").removeprefix("Bearer ")
    for line in [body, *body.get("sessions", []), *body.get("tokens", [])]:
        if isinstance(line, dict) and "id" in line:
            owners[line["id"]] = token
