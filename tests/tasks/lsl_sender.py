"""A second process that sends bins as it is told on stdin: run by the tests of live streams.

Each line is a JSON list: ["open", name, channels], ["foreign", name, channels, format],
["awaited"], ["send", bins, pause in ms], ["skip", bins], ["odd", value], ["close"], ["die"].
"""

import json
import os
import signal
import sys
import time

import pylsl
import torch

from amphid.tasks import Outlet, on_this_machine


class Foreign:
    """A stream as others send it: no numbers, any format."""

    def __init__(self, name, channels, form):
        info = pylsl.StreamInfo(name, "EEG", channels, 50.0, form, f"foreign {name}")
        self.outlet, self.channels, self.words = (
            pylsl.StreamOutlet(info),
            channels,
            form == "string",
        )

    def send(self, values):
        row = values.tolist()
        self.outlet.push_sample([str(one) for one in row] if self.words else row)

    def awaited(self):
        return self.outlet.wait_for_consumers(5.0)

    def close(self):
        self.outlet = None


def main():
    on_this_machine(sys.argv[1])
    outlet = None
    for line in sys.stdin:
        verb, *told = json.loads(line)
        if verb == "open":
            outlet = Outlet(*told)
            value = torch.ones(told[1])
        elif verb == "foreign":
            outlet = Foreign(*told)
            value = torch.ones(told[1])
        elif verb == "send":
            for _ in range(told[0]):
                outlet.send(value)
                time.sleep(told[1] / 1000)
        elif verb == "awaited":
            assert outlet.awaited()
        elif verb == "skip":
            outlet.next += told[0]
        elif verb == "odd":
            outlet.send(torch.full_like(value, float(told[0])))
        elif verb == "close":
            outlet.close()
            outlet = None
        elif verb == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        print(verb, flush=True)


if __name__ == "__main__":
    main()
