#!/bin/sh
# Before a removal: stops the service. dpkg says remove or upgrade, rpm 0 or 1.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now pushgateway.service pushgateway.socket
	fi
	;;
upgrade)
	: >/run/pushgateway.upgrade
	;;
esac
