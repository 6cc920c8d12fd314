package cli_test

import (
	"strings"
	"testing"
)

func TestConsumerSkip(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	out := s.must("consumer", "skip", "order.events/3/1042", "--service", "payment", "--reason", "no table takes it", "--as", "ada")
	s.has(out, "payment will skip order.events/3/1042")
	if changes := s.payment.Changes(); len(changes) != 1 || !strings.Contains(changes[0], "POST /skips ada") || !strings.Contains(changes[0], `"offset":1042,"partition":3`) {
		t.Errorf("changes %v", changes)
	}
	if changes := s.order.Changes(); len(changes) != 0 {
		t.Errorf("another service was told: %v", changes)
	}
	s.has(s.must("consumer", "skips"), "payment", "order.events/3/1042", "not yet", "ada", "no table takes it")
	s.has(s.must("consumer", "skips", "--service", "payment", "--json"), `"offset": 1042`)
}

func TestConsumerSkipRefuses(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"order.events/3", "--service", "payment", "--reason", "r"}, "is not TOPIC/PARTITION/OFFSET"},
		{[]string{"order.events/x/1", "--service", "payment", "--reason", "r"}, "numbers from 0"},
		{[]string{"order.events/3/-1", "--service", "payment", "--reason", "r"}, "numbers from 0"},
		{[]string{"order.events/3/1", "--reason", "r"}, "--service"},
		{[]string{"order.events/3/1", "--service", "payment"}, "--reason"},
		{[]string{"order.events/3/1", "--service", "none", "--reason", "r"}, "there is no group"},
		{[]string{"order.events/3/7", "--service", "payment", "--reason", "r"}, "is dead letter"},
	} {
		s.fails(append([]string{"consumer", "skip"}, c.args...), c.want)
	}
	if changes := s.order.Changes(); len(changes) != 0 {
		t.Errorf("changes %v", changes)
	}
}
