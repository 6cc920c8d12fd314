package stack

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
)

// ports decides all ports. Given ports win. Otherwise a port is that of the last time or the
// default. With auto it is a free one instead of the default, and instead of one of the last time
// that another program has taken since. Replicas have no default: they get free ports. So does a process
// that is new in this release, in a stack whose other ports are all drawn. A running process cannot change
// its port.
func (s *Stack) ports(flags map[string]int, auto bool, running map[string]int) (map[string]int, error) {
	ports, defaults := map[string]int{}, DefaultPorts()
	drawn := len(s.file.Ports) > 1 // one alone was given
	for name, port := range s.file.Ports {
		drawn = drawn && port != defaults[name]
	}
	for _, name := range s.listeners() {
		port, known := s.file.Ports[name]
		fixed, hasDefault := defaults[name]
		_, runs := running[ownerOf(name)]
		movable := auto || !hasDefault || drawn && !known
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
	}
	given, err := s.givenPorts(flags)
	if err != nil {
		return nil, err
	}
	for name, port := range given {
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

// listen stores the decided ports and the URLs that follow from them.
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
	if f.RegistrySource.External() {
		f.URL[Registry] = f.RegistrySource.String()
	}
}

// checkFree returns an error that names every port that another program listens on.
func (s *Stack) checkFree(running map[string]int) error {
	var taken []string
	for _, name := range s.expected() {
		if _, ours := running[name]; ours {
			continue
		}
		for _, listener := range s.PortsOf(name) {
			if port := s.file.Ports[listener]; !isFree(port) {
				taken = append(taken, fmt.Sprintf("port %d is taken and %s needs it: free it, choose another with --port %s=N, or have all chosen with --ports auto", port, name, listener))
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

// Free ports are searched here: below the ranges from which Linux (32768 up) and macOS (49152 up)
// take the ports of outgoing connections. An outgoing connection could otherwise take the port of a
// process that is down, or of one that is about to start.
const (
	freeFrom  = 20000
	freeBelow = 32000
	// freeTries bounds the search: if thousands of ports are taken, something is wrong.
	freeTries = 1000
)

// freePort draws and claims a port without a listener, which no other stack has drawn and which is
// in none of the sets.
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
