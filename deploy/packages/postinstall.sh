#!/bin/sh
# After an install or upgrade: makes what is missing of the user, its folder and the file
# of the flags, and starts the service where systemd runs. That file does not belong to the
# package, so that what an administrator wrote for Debian's package stays without a question.
set -e

if ! getent passwd prometheus >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/prometheus --no-create-home \
		--shell /usr/sbin/nologin --comment "Prometheus daemon" prometheus
fi
if [ ! -d /var/lib/prometheus ]; then
	install -d -m 755 -o prometheus -g prometheus /var/lib/prometheus
fi

if [ ! -e /etc/default/prometheus-pushgateway ]; then
	mkdir -p /etc/default
	cat >/etc/default/prometheus-pushgateway <<-'END'
		# Flags of the Pushgateway, such as "--push.ttl=30d". pushgateway --help lists them.
		# After a change: systemctl restart pushgateway
		ARGS=""
	END
fi

# An upgrade leaves it to the administrator whether the service is enabled and runs. rpm says
# how many versions there are now; for dpkg, preremove.sh left a mark.
upgrade=
if [ -e /run/pushgateway.upgrade ] || [ "$1" -gt 1 ] 2>/dev/null; then
	upgrade=yes
	rm -f /run/pushgateway.upgrade
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ -z "$upgrade" ] && command -v systemctl >/dev/null; then
	systemctl enable pushgateway.service || :
fi
if [ -d /run/systemd/system ]; then
	# A service that cannot start does not keep other packages from being installed.
	systemctl ${upgrade:+try-}restart pushgateway.service ||
		echo "pushgateway.service does not start: see systemctl status pushgateway" >&2
fi
