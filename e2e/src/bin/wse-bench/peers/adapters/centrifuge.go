// The Go library centrifuge: its own protocol, in JSON, on the broker in memory. A client's messages and
// questions reach a handler each.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/centrifugal/centrifuge"
)

const topic = "bench_topic"

type message struct {
	T string `json:"t"`
}

type batch struct {
	Publications []struct {
		Message json.RawMessage `json:"message"`
	} `json:"publications"`
}

func main() {
	// What the gateway allows one client to have outstanding, too.
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: 4 << 20})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "bench-user"}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(event centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			if event.Channel != topic {
				done(centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied)
				return
			}
			done(centrifuge.SubscribeReply{}, nil)
		})
		client.OnMessage(func(event centrifuge.MessageEvent) {
			var said message
			if json.Unmarshal(event.Data, &said) != nil {
				client.Disconnect(centrifuge.DisconnectBadRequest)
			}
		})
		client.OnRPC(func(_ centrifuge.RPCEvent, done centrifuge.RPCCallback) {
			done(centrifuge.RPCReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /publish/batch", func(answer http.ResponseWriter, request *http.Request) {
		var said batch
		if err := json.NewDecoder(request.Body).Decode(&said); err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		for _, publication := range said.Publications {
			if _, err := node.Publish(topic, publication.Message); err != nil {
				http.Error(answer, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		fmt.Fprint(answer, "{}")
	})
	mux.Handle("/", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{MessageSizeLimit: 1 << 20}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr(), listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}
