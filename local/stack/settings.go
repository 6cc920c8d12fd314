package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"eventshop.example/local/postgres"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/schema"
)

// Setting is an earlier choice that this stack still applies.
type Setting struct {
	Kind  SettingKind `json:"kind"`
	Name  string      `json:"name"`  // the port's, "payment.LOG_LEVEL", or the service's
	Value string      `json:"value"` // of a secret: "(hidden)"
}

// SettingKind is the kind of a setting. [Stack.Reset] accepts its text.
type SettingKind string

// The kinds of stored settings. Access to an external Kafka cluster or schema registry is reset
// only by its name or kind. Sources stay until the stack is wiped, because its data depends on
// them.
const (
	PortSetting    SettingKind = "port"
	EnvSetting     SettingKind = "env"
	ReplicaSetting SettingKind = "replicas"
	AccessSetting  SettingKind = "access"
	SourceSetting  SettingKind = "source"
)

// Settings returns what differs from a new stack, ports first.
func (s *Stack) Settings() []Setting {
	f := s.file
	var all []Setting
	defaults := DefaultPorts()
	for _, name := range s.listeners() {
		if port, known := f.Ports[name]; known && !replicated(ownerOf(name)) && port != defaults[name] {
			all = append(all, Setting{PortSetting, name, strconv.Itoa(port)})
		}
	}
	for _, process := range slices.Sorted(maps.Keys(f.Env)) {
		for _, name := range slices.Sorted(maps.Keys(f.Env[process])) {
			all = append(all, Setting{EnvSetting, process + "." + name, shownValue(name, f.Env[process][name])})
		}
	}
	for _, service := range slices.Sorted(maps.Keys(f.Replicas)) {
		all = append(all, Setting{ReplicaSetting, service, strconv.Itoa(f.Replicas[service])})
	}
	// Only its existence: its parts are credentials.
	if f.KafkaSecurity != (kafka.Security{}) {
		all = append(all, Setting{AccessSetting, kafkaAccess, hidden})
	}
	if f.RegistryAccess != (schema.Access{}) {
		all = append(all, Setting{AccessSetting, registryAccess, hidden})
	}
	return append(all, s.sources()...)
}

const (
	kafkaAccess    = "kafka-access"
	registryAccess = "registry-access"
	hidden         = "(hidden)"
)

// sources returns the chosen origins of databases, broker, registry and processes.
func (s *Stack) sources() []Setting {
	f := s.file
	var all []Setting
	add := func(name, value string, chosen bool) {
		if chosen {
			all = append(all, Setting{SourceSetting, name, value})
		}
	}
	add("postgres", shownValue("", string(f.Source)), f.Source != "" && f.Source != postgres.Auto)
	add("kafka", string(f.KafkaSource), f.KafkaSource != "" && f.KafkaSource != Embedded)
	add("registry", f.RegistrySource.String(), f.RegistrySource.External())
	add("compose", "yes", f.Compose)
	add("cdc", "yes", f.Capture)
	return all
}

// shownValue hides secrets: the values of settings with secret names, and passwords in URLs.
func shownValue(name, value string) string {
	if regexp.MustCompile(`PASSWORD|SECRET|TOKEN|CREDENTIAL|USER_INFO|PRIVATE`).MatchString(name) {
		return hidden
	}
	if u, err := url.Parse(value); err == nil && u.User != nil {
		return u.Redacted()
	}
	return value
}

// Reset removes settings of a stack that is down: all of a kind, or one by its name in
// [Stack.Settings]. Without arguments it removes all except sources and access. It returns the
// removed settings, which is an empty list for a kind without settings. An unknown name is an
// error.
func (s *Stack) Reset(ctx context.Context, which ...string) ([]Setting, error) {
	release, err := s.exclusive(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	running, err := s.Running()
	if err != nil {
		return nil, err
	}
	if len(running) > 0 {
		return nil, errors.New("the shop is up and keeps its settings until it is down: shop down")
	}
	gone, err := selected(s.Settings(), which)
	if err != nil {
		return nil, err
	}
	for _, g := range gone {
		if err := s.forget(g); err != nil {
			return nil, err
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	if err := s.save(); err != nil {
		return nil, err
	}
	return gone, s.giveUpPorts()
}

// selected returns the named settings.
func selected(all []Setting, which []string) ([]Setting, error) {
	if len(which) == 0 {
		which = []string{string(PortSetting), string(EnvSetting), string(ReplicaSetting)}
		return slices.DeleteFunc(all, func(one Setting) bool { return !slices.Contains(which, string(one.Kind)) }), nil
	}
	var some []Setting
	for _, w := range which {
		n := len(some)
		for _, one := range all {
			if (w == string(one.Kind) || w == one.Name) && !slices.Contains(some, one) {
				some = append(some, one)
			}
		}
		kinds := []string{string(PortSetting), string(EnvSetting), string(ReplicaSetting), string(AccessSetting), string(SourceSetting)}
		if known := slices.ContainsFunc(all, func(one Setting) bool { return w == one.Name }); len(some) == n && !known && !slices.Contains(kinds, w) {
			return nil, fmt.Errorf("%q is neither a setting of this shop (`shop settings` lists them) nor one of %s",
				w, strings.Join(kinds[:len(kinds)-1], ", "))
		}
	}
	for _, one := range some {
		if one.Kind == SourceSetting {
			return nil, fmt.Errorf("%s=%s stays: the shop's data is made with it; to begin anew: shop wipe", one.Name, one.Value)
		}
	}
	return some, nil
}

// forget removes one setting.
func (s *Stack) forget(one Setting) error {
	f := &s.file
	switch one.Kind {
	case PortSetting:
		ports := maps.Clone(f.Ports)
		ports[one.Name] = DefaultPorts()[one.Name]
		s.listen(ports)
	case EnvSetting:
		process, name, _ := strings.Cut(one.Name, ".")
		if delete(f.Env[process], name); len(f.Env[process]) == 0 {
			delete(f.Env, process)
		}
	case ReplicaSetting:
		return s.resize(one.Name, 1)
	case AccessSetting:
		if one.Name == kafkaAccess {
			f.KafkaSecurity = kafka.Security{}
			return nil
		}
		f.RegistryAccess = schema.Access{}
		if err := os.Remove(s.registryPassword()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("forget the password of the schema registry: %w", err)
		}
	}
	return nil
}
