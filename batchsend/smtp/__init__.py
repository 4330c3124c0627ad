"""The protocol, without I/O: octets in, octets out. Imports no asyncio, anyio, socket, ssl or time."""
