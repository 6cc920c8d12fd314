package apache

import (
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Ports are a node's ports on 127.0.0.1.
type Ports struct{ Client, Controller int }

// Cluster returns a node for each pair of ports, all of one cluster. Each is a broker and a voter
// of the controllers' quorum. New topics, and the topic of the groups' offsets, have a copy on
// every node, and a write is acknowledged when all nodes but one have it. So one of three nodes can
// be lost without loss of data and without downtime. like has the common settings of the nodes; its
// folder gets a subfolder for each.
func Cluster(like Node, ports ...Ports) []Node {
	id := clusterID(uuid.New())
	var voters []string
	for i, p := range ports {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, p.Controller))
	}
	copies, enough := strconv.Itoa(len(ports)), strconv.Itoa(max(1, len(ports)-1))
	nodes := make([]Node, len(ports))
	for i, p := range ports {
		n := like
		n.ID, n.Port, n.Controller = id, p.Client, p.Controller
		n.Dir = filepath.Join(like.Dir, strconv.Itoa(i+1))
		n.Config = map[string]string{
			"node.id":                                  strconv.Itoa(i + 1),
			"controller.quorum.voters":                 strings.Join(voters, ","),
			"default.replication.factor":               copies,
			"min.insync.replicas":                      enough,
			"offsets.topic.replication.factor":         copies,
			"transaction.state.log.replication.factor": copies,
			"transaction.state.log.min.isr":            enough,
			"replica.lag.time.max.ms":                  "5000",
		}
		maps.Copy(n.Config, like.Config)
		nodes[i] = n
	}
	return nodes
}
