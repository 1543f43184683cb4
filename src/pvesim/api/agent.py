"""The guest agent of a virtual machine (PVE::API2::Qemu::Agent): one method per command."""

from __future__ import annotations

import base64
import binascii

from pvesim.api.method import ApiError, Call, method
from pvesim.api.qemu import VM, guest_of
from pvesim.cluster.qemu import agent, power

AGENT = f"{VM}/agent"


@method("GET", AGENT)
def agent_index(call: Call) -> object:
    return [{"name": name} for name in sorted((*agent.READ, *agent.WRITE, *agent.OWN))]


async def _run(call: Call, command: str) -> object:
    guest = guest_of(call)
    result = agent.answer(call.cluster, guest, command)
    if command in ("shutdown", "suspend-disk"):
        await power.shut_down_from_inside(call, guest)
    elif command.startswith("suspend-"):
        guest.paused = True
    return {"result": result}


@method("POST", AGENT)
async def any_command(call: Call) -> object:
    """The old way: the command as a parameter."""
    return await _run(call, str(call.params["command"]))


async def command(call: Call) -> object:
    """A command without parameters, named by the path."""
    return await _run(call, call.path.rpartition("/")[2])


for _verb, _names in (("GET", agent.READ), ("POST", agent.WRITE)):
    for _name in _names:
        method(_verb, f"{AGENT}/{_name}")(command)


@method("POST", f"{AGENT}/exec")
async def execute(call: Call) -> object:
    """`command` is a program with its arguments, one each."""
    given = call.params.get("command") or []
    words = [str(word) for word in given] if isinstance(given, list) else [str(given)]
    stdin = call.params.get("input-data")
    return {"pid": await agent.execute(call.cluster, guest_of(call), words, stdin)}


@method("GET", f"{AGENT}/exec-status")
def exec_status(call: Call) -> object:
    return agent.status(call.cluster, guest_of(call), int(call.params["pid"]))


@method("GET", f"{AGENT}/file-read")
def file_read(call: Call) -> object:
    """`decode=0` (9.x) hands out base64, `offset` and `count` a part."""
    content = agent.read_file(call.cluster, guest_of(call), str(call.params["file"]))
    start = int(call.params.get("offset") or 0)
    part = content[start : start + int(call.params.get("count") or agent.MAX_READ)]
    plain = call.params.get("decode", True)
    text = part.decode("latin-1") if plain else base64.b64encode(part).decode()
    whole = {"truncated": 1} if start + len(part) < len(content) else {}
    return {"content": text, "bytes-read": len(part)} | whole


@method("POST", f"{AGENT}/file-write")
def file_write(call: Call) -> object:
    """`encode=0`: the content is base64 already."""
    text = str(call.params["content"])
    try:
        plain = call.params.get("encode", True)
        content = text.encode("utf-8") if plain else base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ApiError(500, "Agent error: failed to decode base64 content") from None
    agent.write_file(call.cluster, guest_of(call), str(call.params["file"]), content)
    return None


@method("POST", f"{AGENT}/set-user-password")
def set_user_password(call: Call) -> object:
    agent.reach(call.cluster, guest_of(call))
    return {"result": {}}
