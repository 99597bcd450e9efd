//go:build windows || plan9

package app

import "errors"

func openSyslog(string) (output, error) {
	return nil, errors.New("logDestinations: syslog does not exist on this system, use stdout or file")
}
