"""Logs: one line an event, JSON when nobody is watching; never a payload."""

import logging
import sys

import structlog


def configure(level: int = logging.INFO) -> None:
    """Route structlog and the libraries' logging through one renderer to standard error."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Faust and the clients narrate every rebalance and reconnect; what matters of it we say ourselves
    for noisy in (
        "faust",
        "mode",
        "aiokafka",
        "httpx",
        "httpx2",
        "httpcore2",
        "stamina",
        "asyncio",
        "infra.write.host.batches",
    ):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    logging.getLogger("aiokafka").setLevel(
        logging.CRITICAL
    )  # it repeats itself thousands of times while a broker is away
