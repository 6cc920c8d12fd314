package stack

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// Ports settles where everything listens: the stack's own from last time, else the
// defaults, or free ones when auto is set; then SHOP_PORT_<PROCESS> from the
// environment, then those given.
func (s *Stack) ports(given map[string]int, auto bool) (map[string]int, error) {
	ports := map[string]int{}
	for name, port := range DefaultPorts() {
		ports[name] = port
		if old, ok := s.file.Ports[name]; ok {
			ports[name] = old
		} else if auto {
			free, err := freePort()
			if err != nil {
				return nil, err
			}
			ports[name] = free
		}
		if v := os.Getenv("SHOP_PORT_" + strings.ToUpper(name)); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 || n > 65535 {
				return nil, fmt.Errorf("SHOP_PORT_%s: %q is not a port", strings.ToUpper(name), v)
			}
			ports[name] = n
		}
	}
	for name, port := range given {
		if _, ok := ports[name]; !ok {
			return nil, fmt.Errorf("there is no process %q to give a port; there are %s", name, strings.Join(Processes(), ", "))
		}
		ports[name] = port
	}
	owner := map[int]string{}
	for _, name := range Processes() {
		if other, twice := owner[ports[name]]; twice {
			return nil, fmt.Errorf("port %d is given to both %s and %s", ports[name], other, name)
		}
		owner[ports[name]] = name
	}
	return ports, nil
}

// checkFree names every port that somebody else listens on.
func (s *Stack) checkFree(running map[string]int) error {
	var taken []string
	for _, name := range s.expected() {
		if _, ours := running[name]; ours {
			continue
		}
		port := s.file.Ports[name]
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			taken = append(taken, fmt.Sprintf("port %d is taken and %s needs it: free it, or choose another with --port %s=N", port, name, name))
			continue
		}
		l.Close()
	}
	if len(taken) > 0 {
		return fmt.Errorf("%s", strings.Join(taken, "\n"))
	}
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
