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

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl enable pushgateway.service
	systemctl restart pushgateway.service
elif command -v systemctl >/dev/null; then
	systemctl enable pushgateway.service || :
fi
