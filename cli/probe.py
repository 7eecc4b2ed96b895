"""``vm-preflight probe``: the daemon that runs the checks."""

from collections.abc import Sequence

from cli.daemons import log_options
from cli.options import Parser, UsageError, host_root


def main(program: str, words: Sequence[str]) -> int:
    """Serves runs on a unix socket until SIGTERM.

    Raises:
        UsageError: A configuration, a directory or a socket that cannot be used.
    """
    from agent import probe
    from agent.probe_socket import SocketError
    from preflight.config import ConfigError

    parser = Parser(program, "Runs the checks for the agent. Privileged, without credentials; opens no port.")
    parser.option(
        "--socket", str, default=probe.DEFAULT_SOCKET, metavar="PATH", help="unix socket to listen on"
    )
    parser.option("--host-root", str, default="/", metavar="DIR", help="the machine's root directory")
    parser.option("--config", str, default="", metavar="FILE", help="configuration of the checks (TOML)")
    parser.option("--plugin-dir", str, default="", metavar="DIR", help="directory of executable checks")
    log_options(parser)
    options = parser.parse_args(words)
    try:
        return probe.run(
            socket=options.socket,
            host_root=host_root(options.host_root),
            config_path=options.config or None,
            plugin_dir=options.plugin_dir or None,
            log_format=options.log_format,
            log_level=options.log_level,
        )
    except (ConfigError, SocketError) as error:
        raise UsageError(str(error)) from error
