package stack

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"eventshop.example/local/postgres"
	"eventshop.example/ops/eventshop"
)

// fits returns an error if the options contradict a running shop, because Up does not change
// running processes. was is the stack before the options were applied. Options that only concern
// processes that do not run are fine.
func (s *Stack) fits(was File, o Options, running map[string]int) error {
	f := s.file
	var other []string
	differs := func(format string, args ...any) { other = append(other, fmt.Sprintf(format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(o.Env)) {
		for _, key := range slices.Sorted(maps.Keys(o.Env[name])) {
			value := o.Env[name][key]
			if has, ok := f.Env[name][key]; s.anyRuns(name, running) && (!ok || has != value) {
				differs("--env %s.%s=%s", name, key, shownValue(key, value))
			}
		}
	}
	ports, err := s.givenPorts(o.Ports)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		if _, runs := running[ownerOf(name)]; runs && f.Ports[name] != ports[name] {
			differs("port %d for %s, which is on %d", ports[name], name, f.Ports[name])
		}
	}
	source := f.Source
	if source == "" {
		source = postgres.Auto
	}
	if o.Postgres != "" && o.Postgres != source {
		differs("PostgreSQL from %s, which is from %s", shownValue("", string(o.Postgres)), shownValue("", string(source)))
	}
	if was.KafkaSecurity != f.KafkaSecurity {
		differs("the KAFKA_… settings of the connection")
	}
	if was.RegistryAccess != f.RegistryAccess {
		differs("the SCHEMA_REGISTRY_… settings")
	}
	if o.Images && len(running) == len(s.expected()) {
		differs("--build")
	}
	if len(other) == 0 {
		return nil
	}
	return fmt.Errorf("the shop runs and goes on as it is; this is not applied: %s; to apply it: shop down, then shop up", strings.Join(other, ", "))
}

// named checks that the stack has the processes that the settings are for.
func (s *Stack) named(o Options) error {
	for _, name := range slices.Sorted(maps.Keys(o.Env)) {
		if !slices.Contains(s.Processes(), name) {
			return fmt.Errorf("--env: there is no process %q; there are %s", name, strings.Join(s.Processes(), ", "))
		}
	}
	return nil
}

// anyRuns reports whether a process that takes settings of this name runs: the named process, or a
// replica of the named service.
func (s *Stack) anyRuns(name string, running map[string]int) bool {
	names := []string{name}
	if slices.Contains(eventshop.Services(), name) {
		names = s.replicas(name)
	}
	return slices.ContainsFunc(names, func(one string) bool { _, runs := running[one]; return runs })
}

// givenPorts merges the ports of SHOP_PORT_<NAME>, with _ for -, and those of flags, which win. It
// returns an error for an invalid port and for a name that has no listener.
func (s *Stack) givenPorts(flags map[string]int) (map[string]int, error) {
	ports := map[string]int{}
	for _, name := range s.listeners() {
		variable := "SHOP_PORT_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		v := os.Getenv(variable)
		if v == "" {
			continue
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("%s: %q is not a port", variable, v)
		}
		ports[name] = n
	}
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		if !slices.Contains(s.listeners(), name) {
			return nil, fmt.Errorf("there is no process %q to give a port; there are %s", name, strings.Join(s.listeners(), ", "))
		}
		ports[name] = flags[name]
	}
	return ports, nil
}
