package apache

import "testing"

func TestNodesOfAClusterAgree(t *testing.T) {
	t.Parallel()
	nodes := Cluster(Node{Dir: "/d", Config: map[string]string{"message.max.bytes": "1"}}, Ports{1, 11}, Ports{2, 12}, Ports{3, 13})
	for i, n := range nodes {
		if n.ID == "" || n.ID != nodes[0].ID {
			t.Errorf("node %d is of the cluster %q, the first one of %q", i+1, n.ID, nodes[0].ID)
		}
		for key, want := range map[string]string{
			"controller.quorum.voters":         "1@127.0.0.1:11,2@127.0.0.1:12,3@127.0.0.1:13",
			"offsets.topic.replication.factor": "3", "min.insync.replicas": "2", "message.max.bytes": "1",
		} {
			if got := n.Config[key]; got != want {
				t.Errorf("node %d: %s is %q, want %q", i+1, key, got, want)
			}
		}
	}
	if nodes[0].Dir == nodes[1].Dir || nodes[1].Port != 2 || nodes[1].Config["node.id"] != "2" {
		t.Errorf("the second node is not one of its own: %+v", nodes[1])
	}
	if one := Cluster(Node{}, Ports{1, 2}); one[0].Config["min.insync.replicas"] != "1" {
		t.Errorf("a single node wants %s copies", one[0].Config["min.insync.replicas"])
	}
}
