// Package topics compares a cluster's topics with the declared ones and removes the differences. It
// never deletes a topic or a partition.
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

	"eventshop.example/pkg/event"
)

// Kind is the kind of a difference.
type Kind string

const (
	Missing    Kind = "missing"    // the topic does not exist
	Partitions Kind = "partitions" // the number of partitions differs
	Setting    Kind = "setting"    // a config has another value
	Undeclared Kind = "undeclared" // the topic has a config that is not declared
	Unknown    Kind = "unknown"    // a topic that is not declared; it is reported, never changed
)

// What an unknown topic has.
const (
	Empty   = "empty"   // no record, or none any more
	Records = "records" // at least one; the marker of a transaction's end counts
)

// Difference is a difference between a declaration and the cluster.
type Difference struct {
	Topic  string `json:"topic"`
	Kind   Kind   `json:"kind"`
	Config string `json:"config,omitempty"` // name of the config, of Setting and Undeclared
	Want   string `json:"want,omitempty"`
	Have   string `json:"have,omitempty"` // of Unknown: [Empty] or [Records], or "" if the brokers do not say

	declared   event.Topic
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
		return d.Topic + ": is not declared" + map[string]string{Empty: "; it is empty", Records: "; it has records"}[d.Have]
	}
}

// Compare returns the differences, by topic. It ignores topics whose names begin with an
// underscore: they are internal topics of Kafka or other programs.
func Compare(ctx context.Context, client *kgo.Client, declared []event.Topic) ([]Difference, error) {
	have, err := list(ctx, client)
	if err != nil {
		return nil, err
	}
	var diffs []Difference
	want := map[string]event.Topic{}
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
	admin := kadm.NewClient(client)
	unknown := map[string]int32{} // partitions by topic
	for name, n := range have {
		if _, ok := want[name]; !ok && !strings.HasPrefix(name, "_") {
			unknown[name] = n
		}
	}
	holds := contents(ctx, admin, unknown)
	for name := range unknown {
		diffs = append(diffs, Difference{Topic: name, Kind: Unknown, Have: holds[name]})
	}
	if len(both) > 0 {
		configs, err := admin.DescribeTopicConfigs(ctx, both...)
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

// list returns the number of partitions of each topic. It asks the cluster directly, because the
// client would answer from its cache shortly after an earlier request.
func list(ctx context.Context, client *kgo.Client) (map[string]int32, error) {
	res, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client) // no topic named: all topics
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

// contents returns [Empty] or [Records] by topic, of topics with their numbers of partitions. It leaves
// out a topic that has no records as far as can be seen, if a partition's offsets cannot be listed.
func contents(ctx context.Context, admin *kadm.Client, topics map[string]int32) map[string]string {
	if len(topics) == 0 {
		return nil
	}
	names := slices.Collect(maps.Keys(topics))
	// Partitions whose broker does not answer are missing, which is all that matters of an error.
	begins, _ := admin.ListStartOffsets(ctx, names...)
	ends, _ := admin.ListEndOffsets(ctx, names...)
	holds := map[string]string{}
	for name, partitions := range topics {
		var seen int32
		for p, end := range ends[name] {
			begin, ok := begins.Lookup(name, p)
			if !ok || begin.Err != nil || end.Err != nil {
				continue
			}
			if seen++; begin.Offset < end.Offset {
				holds[name] = Records
			}
		}
		if holds[name] == "" && seen == partitions {
			holds[name] = Empty
		}
	}
	return holds
}

func compareConfigs(t event.Topic, have []kadm.Config) (diffs []Difference) {
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

// Options are options of [Apply].
type Options struct {
	// Replication is the number of copies of a new topic; 0 is the cluster's default.
	Replication int16
	// Grow permits more partitions for existing topics. Keys then move to other partitions, and
	// records in flight lose their order within a key: stop the producers, drain, grow.
	Grow bool
}

// Apply removes the differences that it may remove. It returns the removed ones and those that are
// left: unknown topics, topics with too many partitions, and without Grow topics with too few. If
// it returns an error, it may have removed some. It is safe to repeat and to run twice at once.
func Apply(ctx context.Context, client *kgo.Client, diffs []Difference, o Options) (done, left []Difference, err error) {
	admin := kadm.NewClient(client)
	var missing []event.Topic
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

// Create creates the missing topics in one request. It does not change existing ones, because an
// operator may have changed them. replication 0 is the cluster's default.
func Create(ctx context.Context, client *kgo.Client, declared []event.Topic, replication int16) error {
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
