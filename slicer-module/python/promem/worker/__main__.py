"""`python -m promem.worker`: runs the worker; with --check, prints what it would use.

In: messages on stdin. Out: messages on stdout.
"""

import argparse
import json
import sys

from ..errors import PromemError
from .check import check
from .lifetime import claim_streams, end, end_with_client
from .server import Server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m promem.worker", description="The engine in a separate process.")
    parser.add_argument("--check", action="store_true", help="print as JSON what would be used, and exit")
    parser.add_argument("--client", type=int, default=0, metavar="PID", help="the process id of the client")
    parser.add_argument("--bound", action="store_true", help="exit when the thread that started this process ends")
    asked = parser.parse_args()
    if asked.check:
        return _check()
    requests, replies = claim_streams()
    end_with_client(requests, asked.client, asked.bound)
    Server(requests, replies).run()
    end()
    return 0


def _check() -> int:
    try:
        found = check()
    except PromemError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
