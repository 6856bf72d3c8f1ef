"""A sender that waits to be killed: of three channels, in the session it is told."""

import sys

import pylsl

if __name__ == "__main__":
    pylsl.set_config_content(
        "[multicast]\nResolveScope = machine\n[lab]\nKnownPeers = {127.0.0.1}\n"
        f"SessionID = {sys.argv[1]}\n[log]\nlevel = -3\n"
    )
    info = pylsl.StreamInfo("killed", "counts", 3, 50.0, "float32", "killed")
    outlet = pylsl.StreamOutlet(info)
    sys.stdin.read()
