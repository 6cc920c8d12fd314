// Package topics reconciles a cluster's topics with those that are declared: it tells the
// differences and removes them. Nothing is ever deleted, neither a topic nor a partition.
package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/events"
)

// Kind says what a difference is.
type Kind string

const (
	Missing    Kind = "missing"    // the topic does not exist
	Partitions Kind = "partitions" // it has another number of them
	Setting    Kind = "setting"    // a config has another value
	Undeclared Kind = "undeclared" // a config was set for the topic that is not declared
	Unknown    Kind = "unknown"    // a topic that nobody declared; to be looked at, never changed
)

// Difference is between what is declared and what the cluster has.
type Difference struct {
	Topic  string `json:"topic"`
	Kind   Kind   `json:"kind"`
	Config string `json:"config,omitempty"` // name of the config, of Setting and Undeclared
	Want   string `json:"want,omitempty"`
	Have   string `json:"have,omitempty"`

	declared   events.Topic
	partitions int32 // that the topic has
}

func (d Difference) String() string {
	switch d.Kind {
	case Missing:
		return d.Topic + ": does not exist"
	case Partitions:
		return fmt.Sprintf("%s: has %s partitions, want %s", d.Topic, d.Have, d.Want)
	case Setting:
		return fmt.Sprintf("%s: %s is %s, want %s", d.Topic, d.Config, d.Have, d.Want)
	case Undeclared:
		return fmt.Sprintf("%s: %s is set to %s, which is not declared", d.Topic, d.Config, d.Have)
	default:
		return d.Topic + ": is not declared"
	}
}

// Compare lists the differences, by topic. Topics whose names begin with an underscore are
// somebody's internals and not looked at.
func Compare(ctx context.Context, client *kgo.Client, declared []events.Topic) ([]Difference, error) {
	have, err := list(ctx, client)
	if err != nil {
		return nil, err
	}
	var diffs []Difference
	want := map[string]events.Topic{}
	var both []string
	for _, t := range declared {
		want[t.Name] = t
		n, ok := have[t.Name]
		if !ok {
			diffs = append(diffs, Difference{Topic: t.Name, Kind: Missing, declared: t})
			continue
		}
		both = append(both, t.Name)
		if n != t.Partitions {
			diffs = append(diffs, Difference{Topic: t.Name, Kind: Partitions, Want: fmt.Sprint(t.Partitions), Have: fmt.Sprint(n), declared: t, partitions: n})
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok && !strings.HasPrefix(name, "_") {
			diffs = append(diffs, Difference{Topic: name, Kind: Unknown})
		}
	}
	if len(both) > 0 {
		configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, both...)
		if err != nil {
			return nil, fmt.Errorf("describe topics: %w", err)
		}
		for _, c := range configs {
			if c.Err != nil {
				return nil, fmt.Errorf("describe topic %s: %w", c.Name, c.Err)
			}
			diffs = append(diffs, compareConfigs(want[c.Name], c.Configs)...)
		}
	}
	slices.SortFunc(diffs, func(a, b Difference) int {
		return strings.Compare(a.Topic+"\x00"+a.Config, b.Topic+"\x00"+b.Config)
	})
	return diffs, nil
}

// list returns how many partitions each topic has. It asks the cluster and not the client,
// which answers from its memory when it has been asked a moment ago.
func list(ctx context.Context, client *kgo.Client) (map[string]int32, error) {
	res, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client) // no topic named: all
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	have := map[string]int32{}
	for _, t := range res.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return nil, fmt.Errorf("look at topic %s: %w", *t.Topic, err)
		}
		have[*t.Topic] = int32(len(t.Partitions))
	}
	return have, nil
}

func compareConfigs(t events.Topic, have []kadm.Config) (diffs []Difference) {
	for _, c := range have {
		want, declared := t.Config[c.Key]
		switch {
		case declared && want != c.MaybeValue():
			diffs = append(diffs, Difference{Topic: t.Name, Kind: Setting, Config: c.Key, Want: want, Have: c.MaybeValue(), declared: t})
		case !declared && c.Source == kmsg.ConfigSourceDynamicTopicConfig:
			diffs = append(diffs, Difference{Topic: t.Name, Kind: Undeclared, Config: c.Key, Have: c.MaybeValue(), declared: t})
		}
	}
	return diffs
}

// Options are for Apply.
type Options struct {
	// Replication is how many copies a new topic has; 0 is the cluster's default.
	Replication int16
	// Grow lets topics get more partitions. The keys then change their partitions, so that
	// order within a key is lost for what is in flight: stop the producers, drain, grow.
	Grow bool
}

// Apply removes the differences it may, and returns those it removed and those that are
// left: unknown topics, fewer partitions, and more of them without Grow. With an error some
// may be removed already. Doing it again is safe, and so are two at once.
func Apply(ctx context.Context, client *kgo.Client, diffs []Difference, o Options) (done, left []Difference, err error) {
	admin := kadm.NewClient(client)
	var missing []events.Topic
	alter := map[string][]kadm.AlterConfig{}
	for _, d := range diffs {
		switch d.Kind {
		case Missing:
			missing = append(missing, d.declared)
		case Setting:
			alter[d.Topic] = append(alter[d.Topic], kadm.AlterConfig{Op: kadm.SetConfig, Name: d.Config, Value: &d.Want})
		case Undeclared:
			alter[d.Topic] = append(alter[d.Topic], kadm.AlterConfig{Op: kadm.DeleteConfig, Name: d.Config})
		case Partitions:
			if !o.Grow || d.partitions > d.declared.Partitions {
				left = append(left, d)
				continue
			}
			res, err := admin.UpdatePartitions(ctx, int(d.declared.Partitions), d.Topic)
			if err == nil {
				err = res.Error()
			}
			if err != nil {
				return nil, nil, fmt.Errorf("give topic %s %s partitions: %w", d.Topic, d.Want, err)
			}
		default:
			left = append(left, d)
			continue
		}
		done = append(done, d)
	}
	if err := Create(ctx, client, missing, o.Replication); err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(alter)) {
		res, err := admin.AlterTopicConfigs(ctx, alter[name], name)
		if err == nil {
			_, err = res.On(name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
		}
		if err != nil {
			return nil, nil, fmt.Errorf("change the settings of topic %s: %w", name, err)
		}
	}
	return done, left, nil
}

// Create creates the topics that do not exist yet, in one request. Those that exist are
// left as they are: an operator may have changed them. replication 0 is the cluster's default.
func Create(ctx context.Context, client *kgo.Client, declared []events.Topic, replication int16) error {
	if len(declared) == 0 {
		return nil
	}
	if replication == 0 {
		replication = -1
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, t := range declared {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = t.Name, t.Partitions, replication
		for _, k := range slices.Sorted(maps.Keys(t.Config)) {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = k, kmsg.StringPtr(t.Config[k])
			topic.Configs = append(topic.Configs, c)
		}
		req.Topics = append(req.Topics, topic)
	}
	res, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for _, t := range res.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			why := ""
			if t.ErrorMessage != nil {
				why = ": " + *t.ErrorMessage
			}
			return fmt.Errorf("create topic %s: %w%s", t.Topic, err, why)
		}
	}
	return nil
}
