"""Repositories, scenes and a receiver of signals, shared by the demo and the tests; and the demo.

Everything lies in one directory. It needs no network, and with apt no root.
"""
