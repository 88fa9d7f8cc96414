package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	relayclient "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
)

const (
	// dhtPrefix gives the DHT the protocol name /plasm/kad/1.0.0.
	dhtPrefix protocol.ID = "/plasm"

	capabilityProtocol protocol.ID = "/plasm/capability/1.0.0"
	jobProtocol        protocol.ID = "/plasm/job/1.0.0"

	// exchangeLimit is that of a capability exchange.
	exchangeLimit = 10 * time.Second
	dialLimit     = 20 * time.Second
)

// newHost creates a host with TCP, relayed connections, Noise and Yamux. libp2p.New would add QUIC, WebRTC and WebTransport, which double the
// time to build.
func newHost(listen ...string) (host.Host, error) {
	key, public, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromPublicKey(public)
	if err != nil {
		return nil, err
	}
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(store.AddPrivKey(id, key), store.AddPubKey(id, public)); err != nil {
		return nil, err
	}
	bus := eventbus.NewBus()
	net, err := swarm.NewSwarm(id, store, bus)
	if err != nil {
		return nil, err
	}
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}
	security, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		return nil, err
	}
	upgrade, err := upgrader.New([]sec.SecureTransport{security}, muxers, nil, nil, nil)
	if err != nil {
		return nil, err
	}
	transport, err := tcp.NewTCPTransport(upgrade, nil, nil)
	if err != nil {
		return nil, err
	}
	if err := net.AddTransport(transport); err != nil {
		return nil, err
	}
	for _, address := range listen {
		parsed, err := multiaddr.NewMultiaddr(address)
		if err != nil {
			return nil, err
		}
		if err := net.Listen(parsed); err != nil {
			return nil, err
		}
	}
	node, err := basichost.NewHost(net, &basichost.HostOpts{EventBus: bus, EnablePing: true})
	if err != nil {
		return nil, err
	}
	if err := relayclient.AddTransport(node, upgrade); err != nil {
		return nil, err
	}
	node.Start()
	return node, nil
}

// serve runs a bootstrap node, relay and DHT server until standard input ends.
func serve() error {
	node, err := newHost("/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return err
	}
	defer node.Close()
	table, err := dht.New(node, dht.ProtocolPrefix(dhtPrefix), dht.Mode(dht.ModeServer))
	if err != nil {
		return err
	}
	defer table.Close()
	relays, err := relay.New(node)
	if err != nil {
		return err
	}
	defer relays.Close()
	addresses, err := peer.AddrInfoToP2pAddrs(host.InfoFromHost(node))
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(addresses); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// client is a node that only dials and answers no queries of the DHT.
type client struct {
	host host.Host
	dht  *dht.IpfsDHT
}

// join connects to a bootstrap node.
func join(ctx context.Context, bootstrap string) (*client, error) {
	info, err := peer.AddrInfoFromString(bootstrap)
	if err != nil {
		return nil, err
	}
	node, err := newHost()
	if err != nil {
		return nil, err
	}
	table, err := dht.New(node, dht.ProtocolPrefix(dhtPrefix), dht.Mode(dht.ModeClient),
		dht.BootstrapPeers(*info))
	if err != nil {
		return nil, err
	}
	dialing, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	if err := node.Connect(dialing, *info); err != nil {
		return nil, fmt.Errorf("cannot reach the bootstrap node: %w", err)
	}
	return &client{host: node, dht: table}, nil
}

func (c *client) close() {
	c.dht.Close()
	c.host.Close()
}

// candidate is a node with its verified capability document.
type candidate struct {
	peer peer.ID
	// listed has the addresses of the provider record.
	listed   []multiaddr.Multiaddr
	document map[string]any
}

// topicKey returns the DHT key of a topic.
func topicKey(topic string) (cid.Cid, error) {
	digest := sha256.Sum256([]byte("plasm:capability:1:" + topic))
	hash, err := multihash.Encode(digest[:], multihash.SHA2_256)
	return cid.NewCidV1(cid.Raw, hash), err
}

// discover returns the first node with a valid capability document.
func (c *client) discover(ctx context.Context, topic string) (candidate, error) {
	key, err := topicKey(topic)
	if err != nil {
		return candidate{}, err
	}
	failure := errors.New("no provider was found")
	for ctx.Err() == nil {
		searching, cancel := context.WithCancel(ctx)
		for provider := range c.dht.FindProvidersAsync(searching, key, 0) {
			document, err := c.capability(ctx, provider)
			if err != nil {
				failure = err
				continue
			}
			cancel()
			return candidate{peer: provider.ID, listed: provider.Addrs, document: document}, nil
		}
		cancel()
		// The records may not be stored yet.
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return candidate{}, fmt.Errorf("cannot find a node: %w", failure)
}

// open opens a stream, also on a relayed connection.
func (c *client) open(ctx context.Context, id peer.ID, name protocol.ID) (network.Stream, error) {
	return c.host.NewStream(network.WithAllowLimitedConn(ctx, "plasm"), id, name)
}

// capability requests and verifies the document of a node.
func (c *client) capability(ctx context.Context, node peer.AddrInfo) (map[string]any, error) {
	limited, cancel := context.WithTimeout(ctx, exchangeLimit)
	defer cancel()
	if err := c.host.Connect(limited, node); err != nil {
		return nil, err
	}
	stream, err := c.open(limited, node.ID, capabilityProtocol)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	if err := stream.SetDeadline(time.Now().Add(exchangeLimit)); err != nil {
		return nil, err
	}
	frames := newFrames(stream)
	if err := frames.write(message{"type": "get"}); err != nil {
		return nil, err
	}
	answer, err := frames.read(32 * 1024)
	if err != nil {
		return nil, err
	}
	document, ok := answer["document"].(map[string]any)
	if answer["type"] != "capability" || !ok {
		return nil, fmt.Errorf("%s offers no capabilities", node.ID)
	}
	return document, verifyCapability(document, node.ID, time.Now())
}
