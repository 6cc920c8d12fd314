package stack

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// ports settles where everything listens: the stack's own from last time, else the
// defaults, or free ones when auto is set (also for one of last time that somebody
// has taken since) and for replicas, which have no default; then SHOP_PORT_<NAME>
// from the environment, with _ for -; then those given. A process that runs cannot be
// moved.
func (s *Stack) ports(given map[string]int, auto bool, running map[string]int) (map[string]int, error) {
	ports, defaults := map[string]int{}, DefaultPorts()
	for _, name := range s.listeners() {
		port, known := s.file.Ports[name]
		fixed, hasDefault := defaults[name]
		_, runs := running[ownerOf(name)]
		movable := auto || !hasDefault
		switch {
		case known && (runs || !movable || isFree(port)):
			ports[name] = port
		case movable:
			free, err := s.freePort(ports, s.file.Ports)
			if err != nil {
				return nil, err
			}
			ports[name] = free
		default:
			ports[name] = fixed
		}
		variable := "SHOP_PORT_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if v := os.Getenv(variable); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 || n > 65535 {
				return nil, fmt.Errorf("%s: %q is not a port", variable, v)
			}
			ports[name] = n
		}
	}
	for name, port := range given {
		if _, ok := ports[name]; !ok {
			return nil, fmt.Errorf("there is no process %q to give a port; there are %s", name, strings.Join(s.listeners(), ", "))
		}
		ports[name] = port
	}
	owner := map[int]string{}
	for _, name := range s.listeners() {
		_, runs := running[ownerOf(name)]
		if old, ok := s.file.Ports[name]; ok && runs && ports[name] != old {
			return nil, fmt.Errorf("%s runs on port %d and cannot move to %d; take the shop down first", name, old, ports[name])
		}
		if other, twice := owner[ports[name]]; twice {
			return nil, fmt.Errorf("port %d is given to both %s and %s", ports[name], other, name)
		}
		owner[ports[name]] = name
	}
	return ports, nil
}

// listen makes the settled ports the stack's, with the URLs that follow from them.
func (s *Stack) listen(ports map[string]int) {
	f := &s.file
	f.Ports, f.URL, f.Operators = ports, map[string]string{}, map[string]string{}
	if f.Kafka = f.KafkaSource.Addresses(); f.Kafka == nil {
		f.Kafka = []string{address(ports[Broker])}
	}
	for name, port := range ports {
		switch url := "http://" + address(port); {
		case strings.HasSuffix(name, operatorSuffix):
			f.Operators[ownerOf(name)] = url
		case ownerOf(name) == name && name != Postgres && name != Broker && ownDatabaseOf(name) == "":
			f.URL[name] = url
		}
	}
}

// checkFree names every port that somebody else listens on.
func (s *Stack) checkFree(running map[string]int) error {
	var taken []string
	for _, name := range s.expected() {
		if _, ours := running[name]; ours {
			continue
		}
		for _, listener := range s.PortsOf(name) {
			if port := s.file.Ports[listener]; !isFree(port) {
				taken = append(taken, fmt.Sprintf("port %d is taken and %s needs it: free it, or choose another with --port %s=N", port, name, listener))
			}
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

// Free ports are looked for here: below the ranges from which Linux (32768 up) and
// macOS (49152 up) take the ports of outgoing connections. One of those would take the
// place of a process that is down, or between the choice and its start.
const (
	freeFrom  = 20000
	freeBelow = 32000
	// freeTries bounds the search; when thousands of ports are taken something is wrong.
	freeTries = 1000
)

// freePort draws a port that nobody listens on, that no other stack has drawn and that is
// in none of the sets, and claims it.
func (s *Stack) freePort(taken ...map[string]int) (port int, err error) {
	c, err := openClaims()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	for range freeTries {
		port := freeFrom + rand.IntN(freeBelow-freeFrom)
		given := func(set map[string]int) bool { return slices.Contains(slices.Collect(maps.Values(set)), port) }
		if c.owner[port] == "" && !slices.ContainsFunc(taken, given) && isFree(port) {
			c.owner[port] = s.State
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port found between %d and %d", freeFrom, freeBelow)
}
