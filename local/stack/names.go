package stack

import (
	"slices"
	"strconv"
	"strings"

	"eventshop.example/ops/eventshop"
)

// MaxReplicas bounds the processes of one service: replicas are named by one digit, and a topic's
// six partitions cannot use more of them.
const MaxReplicas = 9

// Processes returns the processes of a stack in which every service runs once, in start order.
func Processes() []string {
	return slices.Concat([]string{Postgres, Broker, Registry}, eventshop.Outside(), eventshop.Services())
}

// Processes returns all processes of this stack in start order. The replicas of a service are
// adjacent.
func (s *Stack) Processes() []string {
	names := append(s.databases(), Broker, Registry)
	if s.file.Capture {
		names = append(names, Connect)
	}
	return slices.Concat(names, eventshop.Outside(), s.services())
}

// databases returns the database servers.
func (s *Stack) databases() []string {
	if !s.file.Compose {
		return []string{Postgres}
	}
	var names []string
	for _, service := range eventshop.Services() {
		names = append(names, ownDatabase(service))
	}
	return names
}

// members returns the processes that a name stands for: the process itself or, for [Postgres], all
// database servers.
func (s *Stack) members(name string) []string {
	if name == Postgres {
		return s.databases()
	}
	return []string{name}
}

// ownDatabase returns the name of one service's database server.
func ownDatabase(service string) string { return Postgres + "-" + service }

// ownDatabaseOf returns the service whose database server a process is, or "".
func ownDatabaseOf(process string) string {
	if service, ok := strings.CutPrefix(process, Postgres+"-"); ok && slices.Contains(eventshop.Services(), service) {
		return service
	}
	return ""
}

// services returns the processes of all services.
func (s *Stack) services() []string {
	var names []string
	for _, service := range eventshop.Services() {
		names = append(names, s.replicas(service)...)
	}
	return names
}

// replicas returns the processes of one service.
func (s *Stack) replicas(service string) []string {
	var names []string
	for i := 1; i <= min(max(1, s.file.Replicas[service]), MaxReplicas); i++ {
		names = append(names, replica(service, i))
	}
	return names
}

// replica returns the name of the i-th process of a service, counting from 1. The first has the
// service's own name, so that a shop that was never scaled has no numbers.
func replica(service string, i int) string {
	if i == 1 {
		return service
	}
	return service + "-" + strconv.Itoa(i)
}

// serviceOf returns the service that a process is a replica of, or "".
func serviceOf(process string) string {
	service, number, numbered := strings.Cut(process, "-")
	if !slices.Contains(eventshop.Services(), service) {
		return ""
	}
	if n, err := strconv.Atoi(number); numbered && (err != nil || n < 2 || n > MaxReplicas || strconv.Itoa(n) != number) {
		return ""
	}
	return service
}

// Elsewhere reports whether this stack does not run the process itself: a database server, a Kafka
// cluster or a schema registry that was given by its address.
func (s *Stack) Elsewhere(name string) bool {
	switch name {
	case Postgres:
		return s.file.Source.External()
	case Broker:
		return s.file.KafkaSource.External()
	case Registry:
		return s.file.RegistrySource.External()
	}
	return false
}

// operator returns the name of a service process's port for operators. The process's own name is
// that of its API's port.
func operator(process string) string { return process + operatorSuffix }

const (
	operatorSuffix   = "-operator"
	controllerSuffix = "-controller"
)

// listeners returns the names of all ports of the stack, in start order.
func (s *Stack) listeners() []string {
	var names []string
	for _, name := range s.Processes() {
		names = append(names, s.PortsOf(name)...)
	}
	return names
}

// PortsOf returns the names of a process's ports, as in [DefaultPorts].
func (s *Stack) PortsOf(process string) []string {
	switch {
	case process == Registry && s.Elsewhere(Registry):
		return nil
	case process == Broker && s.file.KafkaSource == Apache:
		return []string{process, process + controllerSuffix}
	case serviceOf(process) == "":
		return []string{process}
	default:
		return []string{process, operator(process)}
	}
}

// ownerOf returns the process that listens on a port.
func ownerOf(listener string) string {
	return strings.TrimSuffix(strings.TrimSuffix(listener, operatorSuffix), controllerSuffix)
}
