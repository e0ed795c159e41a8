"""Starts tgtd with a NOTIFY_SOCKET of its own and leaves what it is told in /run/notify.txt."""
import os, socket, subprocess
path = '/run/rec/notify.sock'
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(path)
receiver.settimeout(5)
daemon = subprocess.Popen(['tgtd', '-f'], env=dict(os.environ, NOTIFY_SOCKET=path), stderr=subprocess.DEVNULL)
try:
    text = receiver.recv(1000).decode()
except OSError as e:
    text = repr(e)
daemon.kill()
open('/run/notify.txt', 'w').write(text + '\n')
