//go:build linux

package main

import "net"

// freeAddress is one of the loopback interface on which nothing listens now.
// Somebody may take it before the server does; the demo then says so and ends.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// answers tells whether somebody listens there.
func answers(network, address string) bool {
	conn, err := net.Dial(network, address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
