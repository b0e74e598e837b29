"""What runs, and with how much of the machine."""

from .threads import get_num_threads, register_threadpoolctl, set_num_threads, threads

__all__ = ["get_num_threads", "register_threadpoolctl", "set_num_threads", "threads"]
