"""The floor: a bare httpx2 loop that does only the reads that a plan cannot do without.

    python -m bench.floor CAFILE NODE=URL …

With --show before the CA file it prints the configuration of the first guest instead.
Reads the list of guests, then each guest's configuration, four calls at once per node. Prints the number of calls.
"""

import asyncio
import os
import ssl
import sys

import httpx2

AT_ONCE = 4


async def main() -> None:
    show = sys.argv[1] == "--show"
    cafile, *pairs = sys.argv[2:] if show else sys.argv[1:]
    urls = dict(pair.split("=", 1) for pair in pairs)
    headers = {"Authorization": f"PVEAPIToken=root@pam!full={os.environ['PVE_TOKEN_SECRET']}"}
    calls = 1
    async with httpx2.AsyncClient(
        headers=headers, verify=ssl.create_default_context(cafile=cafile), timeout=60
    ) as client:
        first = next(iter(urls.values()))
        guests = (await client.get(f"{first}/api2/json/cluster/resources?type=vm")).json()["data"]
        if show:
            way = f"{first}/api2/json/nodes/{guests[0]['node']}/lxc/{guests[0]['vmid']}/config"
            print((await client.get(way)).text.removeprefix('{"data":').removesuffix("}"))
            return
        queues: dict[str, list[int]] = {}
        for guest in guests:
            queues.setdefault(guest["node"], []).append(guest["vmid"])

        async def drain(node: str, queue: list[int]) -> int:
            done = 0
            while queue:
                answer = await client.get(f"{urls[node]}/api2/json/nodes/{node}/lxc/{queue.pop()}/pending")
                answer.raise_for_status()
                answer.json()
                done += 1
            return done

        workers = [drain(node, queue) for node, queue in queues.items() for _ in range(AT_ONCE)]
        calls += sum(await asyncio.gather(*workers))
    print(calls)


if __name__ == "__main__":
    asyncio.run(main())
