"""Stands in for a service: answers `/readyz` with 200 on its admin port.

`python stand_in.py NAME`; writes its environment's names to standard output, as its log.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Stay silent."""


def main() -> None:
    ours = {key: value for key, value in os.environ.items() if key.startswith("ROLLCALL_")}
    print(json.dumps(ours), flush=True)
    port = int(os.environ[f"ROLLCALL_{sys.argv[1].upper()}_ADMIN_PORT"])
    HTTPServer(("127.0.0.1", port), _Ready).serve_forever()


if __name__ == "__main__":
    main()
