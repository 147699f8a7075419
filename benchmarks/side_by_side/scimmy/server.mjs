// A directory in memory behind scimmy-routers: `node server.mjs PORT TOKEN`.
//
// As fast as it can be made without a database: each user is found by its id and by its user name
// in a map, and PATCH, filters and answers are the library's.
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const [port, token] = process.argv.slice(2);
const users = new Map();
const idsByName = new Map();
let last = 0;

function refuse(status, type, detail) {
    throw new SCIMMY.Types.Error(status, type, detail);
}

function put(id, data) {
    const name = data.userName.toLowerCase();
    const owner = idsByName.get(name);
    if (owner !== undefined && owner !== id) refuse(409, "uniqueness", "userName is taken");
    const before = users.get(id);
    if (before !== undefined) idsByName.delete(before.userName.toLowerCase());
    const now = new Date().toISOString();
    const meta = {created: before?.meta.created ?? now, lastModified: now};
    const user = {...data, id, meta};
    users.set(id, user);
    idsByName.set(name, id);
    return user;
}

function named(filter) {
    if (filter === undefined) return [...users.values()];
    const [only] = filter;
    const wanted = filter.length === 1 && Object.keys(only).length === 1 ? only.userName : undefined;
    if (Array.isArray(wanted) && wanted[0] === "eq") {
        const id = idsByName.get(String(wanted[1]).toLowerCase());
        return id === undefined ? [] : [users.get(id)];
    }
    return filter.match([...users.values()]);
}

SCIMMY.Resources.declare(SCIMMY.Resources.User, {
    ingress: (resource, data) => {
        if (resource.id !== undefined && !users.has(resource.id)) refuse(404, null, "not found");
        return put(resource.id ?? `u${++last}`, data);
    },
    egress: (resource) => {
        if (resource.id === undefined) return named(resource.filter);
        return users.get(resource.id) ?? refuse(404, null, "not found");
    },
    degress: (resource) => {
        const user = users.get(resource.id) ?? refuse(404, null, "not found");
        idsByName.delete(user.userName.toLowerCase());
        users.delete(resource.id);
    },
});

const app = express();
app.use("/v2", new SCIMMYRouters({
    type: "bearer",
    handler: (request) => {
        if (request.header("Authorization") !== `Bearer ${token}`) throw new Error("wrong token");
        return "client";
    },
}));
app.listen(Number(port), "127.0.0.1", () => console.log("listening"));
