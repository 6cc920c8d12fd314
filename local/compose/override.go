package compose

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// Replica is an additional process of a service.
type Replica struct {
	Name  string // of its own service in the project
	Of    string
	Ports map[int]int // the container's → the host's, on the loopback interface
}

// Override returns a compose file to add after the files whose resolved form ("docker compose
// config --format json") is resolved. It adds the environment, by service, and the replicas. A
// replica is a copy of its service with the added environment; its ports and its own environment
// replace the service's.
func Override(resolved []byte, environment map[string]map[string]string, replicas []Replica) ([]byte, error) {
	var base struct {
		Services map[string]map[string]any `json:"services"`
	}
	if err := json.Unmarshal(resolved, &base); err != nil {
		return nil, fmt.Errorf("read the resolved compose file: %w", err)
	}
	services := map[string]any{}
	for name, vars := range environment {
		if _, ok := base.Services[name]; ok && len(vars) > 0 {
			services[name] = map[string]any{"environment": escaped(vars)}
		}
	}
	for _, r := range replicas {
		original, ok := base.Services[r.Of]
		if !ok {
			return nil, fmt.Errorf("the compose file has no service %q", r.Of)
		}
		one := maps.Clone(original)
		delete(one, "build") // it uses the image of the first
		var ports []string
		for inside, outside := range r.Ports {
			ports = append(ports, fmt.Sprintf("127.0.0.1:%d:%d", outside, inside))
		}
		one["ports"] = ports
		vars := map[string]any{}
		if of, ok := original["environment"].(map[string]any); ok {
			maps.Copy(vars, of)
		}
		maps.Copy(vars, escaped(environment[r.Of]))
		maps.Copy(vars, escaped(environment[r.Name]))
		one["environment"] = vars
		services[r.Name] = one
	}
	return json.MarshalIndent(map[string]any{"services": services}, "", "  ")
}

// escaped prevents Compose from replacing text that looks like a variable.
func escaped(vars map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range vars {
		out[k] = strings.ReplaceAll(v, "$", "$$")
	}
	return out
}
