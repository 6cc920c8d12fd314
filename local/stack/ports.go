package stack

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// ports settles where everything listens: the stack's own from last time, else the
// defaults, or free ones when auto is set (also for one of last time that somebody
// has taken since); then SHOP_PORT_<PROCESS> from the environment, then those
// given. A process that runs cannot be moved.
func (s *Stack) ports(given map[string]int, auto bool, running map[string]int) (map[string]int, error) {
	ports := map[string]int{}
	for name, port := range DefaultPorts() {
		ports[name] = port
		old, known := s.file.Ports[name]
		_, runs := running[name]
		switch {
		case known && (runs || !auto || isFree(old)):
			ports[name] = old
		case auto:
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
	for name := range running {
		if old, ok := s.file.Ports[name]; ok && ports[name] != old {
			return nil, fmt.Errorf("%s runs on port %d and cannot move to %d; take the shop down first", name, old, ports[name])
		}
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
		if port := s.file.Ports[name]; !isFree(port) {
			taken = append(taken, fmt.Sprintf("port %d is taken and %s needs it: free it, or choose another with --port %s=N", port, name, name))
		}
	}
	if len(taken) > 0 {
		return fmt.Errorf("%s", strings.Join(taken, "\n"))
	}
	return nil
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
