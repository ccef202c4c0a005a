#!/bin/sh
# After a removal. The data in /var/lib/prometheus and the user stay. dpkg says purge if
# the settings have to go, too.
set -e

if [ "$1" = purge ]; then
	rm -f /etc/default/prometheus-pushgateway
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
