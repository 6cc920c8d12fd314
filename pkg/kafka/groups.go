package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Group is a consumer group of the classic protocol, as its coordinator describes it.
type Group struct {
	Name string
	// Settled is false during a rebalance. The coordinator then does not say what the members
	// subscribe to, and Members is empty. A group without members is settled.
	Settled bool
	Members []GroupMember
}

// GroupMember is one consumer of a group.
type GroupMember struct {
	ClientID string
	Host     string   // as the broker has it, such as /10.0.0.7
	Topics   []string // that it subscribes to, sorted
}

// DescribeGroups returns the groups of the given names, in their order. A group that does not exist has
// no members. The client needs the operation DESCRIBE on each group. The error is that of the first group
// that cannot be described, because a coordinator is away or refuses it.
func DescribeGroups(ctx context.Context, client *kgo.Client, names ...string) ([]Group, error) {
	described, err := kadm.NewClient(client).DescribeGroups(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe consumer groups: %w", err)
	}
	groups := make([]Group, len(names))
	for i, name := range names {
		g, ok := described[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("describe consumer group %s: the broker did not answer for it", name)
		case errors.Is(g.Err, kerr.GroupIDNotFound): // brokers of 4.0 or newer; older ones say "Dead"
			groups[i] = Group{Name: name, Settled: true}
		case g.Err != nil:
			return nil, fmt.Errorf("describe consumer group %s: %w", name, g.Err)
		default:
			groups[i] = groupOf(name, g)
		}
	}
	return groups, nil
}

func groupOf(name string, g kadm.DescribedGroup) Group {
	switch g.State {
	case "Empty", "Dead":
		return Group{Name: name, Settled: true}
	case "Stable":
	default:
		return Group{Name: name}
	}
	group := Group{Name: name, Settled: true}
	for _, m := range g.Members {
		member := GroupMember{ClientID: m.ClientID, Host: m.ClientHost}
		if joined, ok := m.Join.AsConsumer(); ok {
			member.Topics = slices.Sorted(slices.Values(joined.Topics))
		}
		group.Members = append(group.Members, member)
	}
	return group
}
