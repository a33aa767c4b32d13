
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_TREE_H_INCLUDED_
#define _NGX_CHAT_TREE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* returns the node with the key in a tree of distinct keys, or NULL */
ngx_rbtree_node_t *ngx_chat_tree_find(ngx_rbtree_t *tree,
    ngx_rbtree_key_t key);


#endif /* _NGX_CHAT_TREE_H_INCLUDED_ */
