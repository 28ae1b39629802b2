"""Clear a buffer by OpenGL without a display, in the way MuJoCo does: EGL on a device. Standard library only.

python3 scripts/try_rendering.py    # says which renderer draws, or in one line what is missing (exit code 1)
"""

from __future__ import annotations

import ctypes
import os
import sys

PLATFORM_DEVICE = 0x313F
OPENGL_API = 0x30A2
GL_RENDERER = 0x1F01
GL_COLOR_BUFFER_BIT = 0x4000
# 8 bits a colour, 24 of depth, 8 of stencil, drawn by OpenGL to a pbuffer
ATTRIBUTES = (0x3024, 8, 0x3023, 8, 0x3022, 8, 0x3025, 24, 0x3026, 8, 0x3033, 1, 0x3040, 8, 0x3038)


class RenderingFault(RuntimeError):
    """What keeps this machine from rendering."""


def renderer() -> str:
    """Name of what renders. Raises RenderingFault."""
    egl, gl = _library("libEGL.so.1"), _library("libGL.so.1")
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    for name in ("eglCreateContext", "eglMakeCurrent", "eglChooseConfig", "eglInitialize"):
        getattr(egl, name).argtypes = None
    display = _display(egl)
    config, count = ctypes.c_void_p(), ctypes.c_int()
    attributes = (ctypes.c_int * len(ATTRIBUTES))(*ATTRIBUTES)
    egl.eglChooseConfig(display, attributes, ctypes.byref(config), 1, ctypes.byref(count))
    if count.value < 1:
        raise RenderingFault("EGL has no frame buffer with colour, depth and stencil")
    egl.eglBindAPI(OPENGL_API)
    egl.eglCreateContext.restype = ctypes.c_void_p
    context = ctypes.c_void_p(egl.eglCreateContext(display, config, None, None))
    if not context or not egl.eglMakeCurrent(display, None, None, context):
        raise RenderingFault("EGL gives no OpenGL context")
    gl.glGetString.restype = ctypes.c_char_p
    name = gl.glGetString(GL_RENDERER)
    if not name:
        raise RenderingFault("OpenGL does not name its renderer")
    gl.glClear(GL_COLOR_BUFFER_BIT)
    return name.decode(errors="replace")


def _library(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name)
    except OSError:
        raise RenderingFault(f"{name} cannot be loaded") from None


def _display(egl: ctypes.CDLL) -> ctypes.c_void_p:
    """The first device's display that can be initialised, or that of MUJOCO_EGL_DEVICE_ID."""
    query, get = (egl.eglGetProcAddress(name) for name in (b"eglQueryDevicesEXT", b"eglGetPlatformDisplayEXT"))
    if not query or not get:
        raise RenderingFault("EGL cannot list its devices")
    devices, count = (ctypes.c_void_p * 16)(), ctypes.c_int()
    ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(query)(
        len(devices), devices, ctypes.addressof(count)
    )
    chosen = os.environ.get("MUJOCO_EGL_DEVICE_ID", "")
    display_of = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p)(get)
    for index in range(count.value):
        if chosen.isdigit() and int(chosen) != index:
            continue
        display = ctypes.c_void_p(display_of(PLATFORM_DEVICE, devices[index], None))
        if display and egl.eglInitialize(display, None, None):
            return display
    which = f" number {chosen} (MUJOCO_EGL_DEVICE_ID)" if chosen else ""
    raise RenderingFault(
        f"EGL has no device{which} that draws ({count.value} found); a driver such as Mesa's is missing"
    )


if __name__ == "__main__":
    try:
        print(renderer())
    except RenderingFault as fault:
        sys.exit(str(fault))
