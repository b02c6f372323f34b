"""A web page of this machine inside a notebook, also where the kernel is not on the reader's machine."""

import importlib.util
import os
import sys

HINT = (
    "If the page does not appear below, the kernel is on another machine: install jupyter-server-proxy next to JupyterLab there "
    "and start it again, or forward the port with 'ssh -L {port}:127.0.0.1:{port} HOST'."
)


def proxy_path(port: int, path: str = "/") -> str | None:
    """The path of a local page on the Jupyter server that started this kernel, for jupyter-server-proxy; None without it.

    Args:
        port: port of a web server on this machine.
        path: path of the page on that server.
    """
    if importlib.util.find_spec("jupyter_server_proxy") is None:
        return None
    from jupyter_server.serverapp import list_running_servers

    base_urls = {server["pid"]: server["base_url"] for server in list_running_servers()}
    base_url = base_urls.get(os.getppid())  # None in an editor that starts kernels itself
    return None if base_url is None else f"{base_url}proxy/{port}{path}"


def embed_port(port: int, height: int, path: str = "/") -> None:
    """Displays a page on a local port below the current cell.

    On Colab this uses its own port forwarding, and elsewhere jupyter-server-proxy if it is installed.  Otherwise the page is
    loaded from the reader's machine, and a sentence says what to do if the kernel is on another one.

    Args:
        port: port of a web server on the machine of the kernel.
        height: height of the page, in pixels.
        path: path of the page on that server.
    """
    from IPython.display import IFrame, display

    if "google.colab" in sys.modules:
        from google.colab import output

        output.serve_kernel_port_as_iframe(port, path=path, height=height)
        return
    proxied = proxy_path(port, path)
    if proxied is None:
        print(HINT.format(port=port), flush=True)
    display(IFrame(proxied or f"http://127.0.0.1:{port}{path}", width="100%", height=height))
