#!/bin/sh
# The power button was pressed.
exec /usr/sbin/poweroff
