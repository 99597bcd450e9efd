//go:build !linux

package main

import (
	"errors"
	"net"
	"time"
)

var errNotLinux = errors.New("bench runs on Linux only: it reads the server's CPU time and memory from /proc")

func checkPlatform(bool) error { return errNotLinux }

func readUsage(int) (usage, error) { return usage{}, errNotLinux }

func machineBusy() (time.Duration, error) { return 0, errNotLinux }

func traced(int) bool { return false }

func setReadBuffer(*net.UDPConn, int) {}
