"""The measurements of `clwm bench` about experience that is streamed into a training, one file each."""
