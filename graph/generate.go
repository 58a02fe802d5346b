package graph

//go:generate go -C .. tool gqlgen generate --config gqlgen.yml
//go:generate go -C .. tool gqlgen generate --config graph/data.gqlgen.yml
//go:generate go -C .. tool genqlient graph/client/adminclient/genqlient.yaml
