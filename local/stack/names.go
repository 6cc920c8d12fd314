package stack

import (
	"slices"
	"strconv"
	"strings"
)

// MaxReplicas is how many processes of one service a stack runs at most: replicas are
// named by one digit, and a topic's six partitions keep no more of them busy.
const MaxReplicas = 9

// Services lists the services.
func Services() []string { return []string{"order", "payment", "inventory", "shipping", "projection"} }

// Processes lists the processes of a stack in which every service runs once, in start
// order.
func Processes() []string {
	return append([]string{Postgres, Broker, Registry, Gateway, Carrier}, Services()...)
}

// Processes lists all processes of this stack, in start order, the replicas of a
// service side by side.
func (s *Stack) Processes() []string {
	names := append(s.databases(), Broker, Registry)
	if s.file.Capture {
		names = append(names, Connect)
	}
	return append(append(names, Gateway, Carrier), s.services()...)
}

// databases lists the database servers.
func (s *Stack) databases() []string {
	if !s.file.Compose {
		return []string{Postgres}
	}
	var names []string
	for _, service := range Services() {
		names = append(names, ownDatabase(service))
	}
	return names
}

// members lists the processes that a name stands for: itself, or with [Postgres] all
// database servers.
func (s *Stack) members(name string) []string {
	if name == Postgres {
		return s.databases()
	}
	return []string{name}
}

// ownDatabase is the name of the database server of one service.
func ownDatabase(service string) string { return Postgres + "-" + service }

// ownDatabaseOf returns the service whose database server a process is; "" for the others.
func ownDatabaseOf(process string) string {
	if service, ok := strings.CutPrefix(process, Postgres+"-"); ok && slices.Contains(Services(), service) {
		return service
	}
	return ""
}

// services lists the processes of all services.
func (s *Stack) services() []string {
	var names []string
	for _, service := range Services() {
		names = append(names, s.replicas(service)...)
	}
	return names
}

// replicas lists the processes of one service.
func (s *Stack) replicas(service string) []string {
	var names []string
	for i := 1; i <= min(max(1, s.file.Replicas[service]), MaxReplicas); i++ {
		names = append(names, replica(service, i))
	}
	return names
}

// replica is the name of the i-th process of a service, counting from 1. The first
// has the service's own name, so that a shop that was never scaled knows no numbers.
func replica(service string, i int) string {
	if i == 1 {
		return service
	}
	return service + "-" + strconv.Itoa(i)
}

// serviceOf returns the service a process is a replica of; "" for the others.
func serviceOf(process string) string {
	service, number, numbered := strings.Cut(process, "-")
	if !slices.Contains(Services(), service) {
		return ""
	}
	if n, err := strconv.Atoi(number); numbered && (err != nil || n < 2 || n > MaxReplicas || strconv.Itoa(n) != number) {
		return ""
	}
	return service
}

// Elsewhere tells whether a process is not this stack's to run: a database server or a
// Kafka cluster that was given by its address.
func (s *Stack) Elsewhere(name string) bool {
	return name == Postgres && s.file.Source.External() || name == Broker && s.file.KafkaSource.External()
}

// operator is the name under which a service process's port for operators is known,
// beside the process's own name for the port of its API.
func operator(process string) string { return process + operatorSuffix }

const (
	operatorSuffix   = "-operator"
	controllerSuffix = "-controller"
)

// listeners lists the name of every port of the stack, in start order.
func (s *Stack) listeners() []string {
	var names []string
	for _, name := range s.Processes() {
		names = append(names, s.PortsOf(name)...)
	}
	return names
}

// PortsOf lists the names of a process's ports, as [DefaultPorts] has them.
func (s *Stack) PortsOf(process string) []string {
	switch {
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
