#!/usr/bin/python3
#
# Copyright (C) ngx_chat contributors
#
# An HTTP/3 client for t/lib/Chat/HTTP3.pm.  Commands are read and events are
# written as lines of JSON.
#
#   {"op": "open", "to": 1, "port": 443}      opens a connection with number 1
#   {"op": "start", "to": 1, "id": 7, "headers": [[NAME, VALUE], ...],
#    "body": "...", "end": true}              sends a request with number 7
#   {"op": "body", "id": 7, "body": "...", "end": true}   sends more of its body
#   {"op": "reset", "id": 7}                  RESET_STREAM
#   {"op": "stop", "id": 7}                   STOP_SENDING
#   {"op": "close", "to": 1}                  CONNECTION_CLOSE
#   {"op": "drop", "to": 1}                   stops without closing
#
# A command with "after": SECONDS is executed after that time.

import asyncio
import json
import logging
import ssl
import sys

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionTerminated, HandshakeCompleted, StreamReset,
)
from aioquic.quic.stream import QuicStreamSender

connections = {}
requests = {}

# aioquic 1.2 does not expect STOP_SENDING for a stream that is reset

reset_once = QuicStreamSender.reset


def reset(sender, error_code):
    if sender._reset_error_code is None:
        reset_once(sender, error_code)


QuicStreamSender.reset = reset

# errors of closed sockets
logging.getLogger('asyncio').setLevel(logging.ERROR)


def tell(**what):
    sys.stdout.write(json.dumps(what) + '\n')
    sys.stdout.flush()


class Connection(QuicConnectionProtocol):
    def __init__(self, number):
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=H3_ALPN, server_name='localhost',
            verify_mode=ssl.CERT_NONE, idle_timeout=60)

        super().__init__(QuicConnection(configuration=configuration))
        self.number = number
        self.http = H3Connection(self._quic)
        self.ids = {}

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            tell(to=self.number, open=True)

        elif isinstance(event, ConnectionTerminated):
            tell(to=self.number, closed=event.error_code,
                 why=event.reason_phrase)

        elif isinstance(event, StreamReset) and event.stream_id in self.ids:
            tell(id=self.ids[event.stream_id], reset=event.error_code)

        for event in self.http.handle_event(event):
            if event.stream_id not in self.ids:
                continue

            number = self.ids[event.stream_id]

            if isinstance(event, HeadersReceived):
                tell(id=number, headers=[[name.decode(), value.decode()]
                                         for name, value in event.headers])

            elif isinstance(event, DataReceived):
                tell(id=number, text=event.data.decode())

            if event.stream_ended:
                tell(id=number, ended=True)

    def start(self, id, headers, body, end):
        stream = self._quic.get_next_available_stream_id()
        self.ids[stream] = id
        requests[id] = (self, stream)

        self.http.send_headers(
            stream, [(name.encode(), value.encode())
                     for name, value in headers],
            end_stream=end and not body)

        if body:
            self.http.send_data(stream, body.encode(), end_stream=end)


async def open_connection(to, port):
    loop = asyncio.get_running_loop()
    address = ('127.0.0.1', port)

    _, connection = await loop.create_datagram_endpoint(
        lambda: Connection(to), remote_addr=address)
    connections[to] = connection

    # the socket is connected and accepts no address
    transport = connection._transport
    send = transport.sendto
    transport.sendto = lambda data, addr=None: send(data)
    connection.connect(address)


def attempt(command):
    try:
        obey(**command)

    except ValueError:
        # the stream has ended meanwhile
        pass


def obey(op, to=None, id=None, headers=(), body='', end=True):
    if op == 'start':
        connection = connections[to]
        connection.start(id, headers, body, end)

    elif op in ('close', 'drop'):
        connection = connections.pop(to, None)

        if connection is None:
            return

        if op == 'drop':
            connection._transport.abort()
            return

        connection._quic.close(error_code=ErrorCode.H3_NO_ERROR)

    else:
        connection, stream = requests[id]

        if op == 'body':
            if body:
                connection.http.send_data(stream, body.encode(), end)
            else:
                connection._quic.send_stream_data(stream, b'', end)

        elif op == 'reset':
            connection._quic.reset_stream(stream,
                                          ErrorCode.H3_REQUEST_CANCELLED)

        elif op == 'stop':
            connection._quic.stop_stream(stream,
                                         ErrorCode.H3_REQUEST_CANCELLED)

    connection.transmit()


async def main():
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)

    async for line in commands:
        command = json.loads(line)
        after = command.pop('after', 0)

        if command['op'] == 'open':
            del command['op']
            await open_connection(**command)

        elif after:
            loop.call_later(after, attempt, command)

        else:
            attempt(command)


asyncio.run(main())
