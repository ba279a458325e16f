"""Make the stub's certificate and a bundle that trusts it: `python -m tests.bench.certificates FOLDER CA_BUNDLE`.

Runs in the bench environment, for trustme. The bundle is the usual one with the stub's authority behind it, so that
every worker loads as much as it would against the real services.
"""

import sys
from pathlib import Path

import trustme


def main() -> None:
    """Write `stub.pem` and `bundle.pem` below FOLDER, the latter from the bundle at CA_BUNDLE."""
    folder, bundle = map(Path, sys.argv[1:])
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "stub.pem"))
    (folder / "bundle.pem").write_bytes(bundle.read_bytes() + b"\n" + authority.cert_pem.bytes())


if __name__ == "__main__":
    main()
